-- expand
-- User-interactive authentication, and what lets people register.

create table ui_auth_sessions (
    id_hash bytea primary key,           -- of the session ID, which only the client knows
    user_id text collate "C",            -- who asks; null when nobody is logged in
    method text collate "C" not null,
    path text collate "C" not null,
    body bytea not null,                 -- the request's body, sealed with a key made of the session ID
    completed bytea not null,            -- JSON object: what each completed stage found out
    result text collate "C",             -- the user that a registration made
    created_ts bigint not null
);
create index ui_auth_sessions_created on ui_auth_sessions (created_ts);

create table registration_tokens (
    token text collate "C" primary key,
    uses_allowed integer,                -- null: any number
    completed integer not null default 0,
    expires_ts bigint,
    created_ts bigint not null
);

create table registration_nonces (
    nonce text collate "C" primary key,
    created_ts bigint not null
);
