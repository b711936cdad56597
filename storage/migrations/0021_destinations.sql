-- expand
-- Servers that do not answer. One that does has no row.

create table destinations (
    server_name text collate "C" primary key,
    failing_since_ts bigint not null,
    retry_ts bigint not null,          -- not asked again before
    interval_ms bigint not null        -- how long the present pause is
);
