-- expand
-- Tokens that live for minutes: for other services to learn who somebody is, and for another device to log in. Only hashes are kept.

create table short_tokens (
    token_hash bytea primary key,
    purpose text collate "C" not null,
    user_id text collate "C" not null,
    expires_ts bigint not null
);
create index short_tokens_expiry on short_tokens (expires_ts);
