-- expand
-- Pushers of this server's users, what is owed to them, and gateways that do not answer.

create table pushers (
    id bigint generated always as identity primary key,
    user_id text collate "C" not null,
    app_id text collate "C" not null,
    pushkey text collate "C" not null,
    kind text collate "C" not null,
    device_id text collate "C",            -- whose session set it; null: it ends with the account
    enabled boolean not null,
    app_display_name text not null,
    device_display_name text not null,
    profile_tag text,
    lang text not null,
    url text collate "C",                  -- of the push gateway; null: it needs none
    data text not null,                    -- JSON object
    set_ts bigint not null,
    since bigint not null,                 -- what happened up to here is none of its business
    badge integer not null default 0,      -- the count that it was last told
    unique (user_id, app_id, pushkey)
);
create index pushers_key on pushers (app_id, pushkey);

-- One row a push that is owed.
create table push_outbox (
    pusher_id bigint not null,
    pos bigint not null,
    event_nid bigint,                      -- null: only the counts may have changed
    actions text,                          -- JSON list: what the user's push rules said
    ts bigint not null,                    -- when it happened here
    primary key (pusher_id, pos)
);

-- Up to here, what pushers are owed is in the outbox.
create table push_progress (
    only_row boolean primary key default true check (only_row),
    pos bigint not null
) with (fillfactor = 10);
insert into push_progress (pos) select pos from stream;

-- Gateways, and single pushers, that are left alone for a while. What works has no row.
create table push_failures (
    target text collate "C" primary key,   -- a gateway's address, or a pusher's number
    failing_since_ts bigint not null,
    retry_ts bigint not null,
    interval_ms bigint not null
);

-- What may change a user's counts, by position.
create index receipts_local on receipts (pos) where local;
create index membership_changes_pos on membership_changes (pos);
create index push_rules_pos on push_rules (pos);
create index account_data_ignored on account_data (pos) where type = 'm.ignored_user_list';
