-- expand
-- Users of this server, their devices and the tokens that stand for them.

create table users (
    user_id text collate "C" primary key,
    password_hash text,                  -- null: no password login
    created_ts bigint not null,
    is_admin boolean not null default false,
    is_guest boolean not null default false,
    appservice_id text collate "C",
    user_type text,
    locked boolean not null default false,
    suspended boolean not null default false,
    deactivated boolean not null default false,
    erased boolean not null default false,
    departing boolean not null default false  -- deactivated and not yet out of all rooms
);
create index users_lower on users (lower(user_id));
create index users_created on users (created_ts, user_id);
create index users_departing on users (user_id) where departing;

create table devices (
    user_id text collate "C" not null,
    device_id text collate "C" not null,
    display_name text,
    created_ts bigint not null,
    last_seen_ts bigint,
    last_seen_ip text,
    last_seen_user_agent text,
    primary key (user_id, device_id)
);

-- Only hashes of tokens are kept.
create table refresh_tokens (
    id bigint generated always as identity primary key,
    token_hash bytea not null unique,
    user_id text collate "C" not null,
    device_id text collate "C" not null,
    created_ts bigint not null,
    expires_ts bigint,
    replaces bigint                      -- the refresh token that dies when this one, or its access token, is used
);
create index refresh_tokens_user on refresh_tokens (user_id, device_id);
create index refresh_tokens_replaces on refresh_tokens (replaces) where replaces is not null;

create table access_tokens (
    id bigint generated always as identity primary key,
    token_hash bytea not null unique,
    user_id text collate "C" not null,
    device_id text collate "C",
    created_ts bigint not null,
    expires_ts bigint,
    refresh_id bigint                    -- the refresh token issued with it
);
create index access_tokens_user on access_tokens (user_id, device_id);
create index access_tokens_refresh on access_tokens (refresh_id) where refresh_id is not null;
