-- expand
-- Users who had themselves erased, and when, as long as their files are still to go.
create table media_erasures (
    user_id text collate "C" primary key,
    erased_ts bigint not null
);
