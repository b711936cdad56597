-- expand
-- What users keep on the server about themselves, account data aside.

create table profiles (
    user_id text collate "C" primary key,
    displayname text,
    avatar_url text,
    fields bytea not null                -- JSON object: all other fields
);

create table filters (
    user_id text collate "C" not null,
    filter_id text collate "C" not null, -- a hash of the content
    content bytea not null,              -- JSON object
    primary key (user_id, filter_id)
);

create table push_rules (
    user_id text collate "C" primary key,
    changes bytea not null,              -- JSON object: the user's rules and changes of default rules
    pos bigint not null
);
