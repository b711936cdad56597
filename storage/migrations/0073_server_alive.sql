-- expand
-- When a node of this server last said that it runs.

create table server_alive (
    only_row boolean primary key default true check (only_row),
    seen_ts bigint not null
);
