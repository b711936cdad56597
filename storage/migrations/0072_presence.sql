-- expand
-- How users were a while ago, so that a server that was started anew can say who did not come back, and what
-- they say of themselves. It is of no worth after a crash of the database: it has no log.

create unlogged table presence (
    user_id text collate "C" primary key,
    presence text not null,
    status_msg text,
    active_ts bigint
);
