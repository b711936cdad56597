-- expand
-- E-mail addresses of users, and proofs that somebody reads the mails to one.

create table threepids (
    medium text collate "C" not null,
    address text collate "C" not null,
    user_id text collate "C" not null,
    validated_ts bigint not null,
    added_ts bigint not null,
    primary key (medium, address)
);
create index threepids_user on threepids (user_id);

create table email_proofs (
    sid text collate "C" primary key,
    purpose text collate "C" not null,
    address text collate "C" not null,
    secret_hash bytea not null,            -- of the client's secret
    token_hash bytea not null,             -- of what the last mail had
    send_attempt bigint not null,
    sent integer not null,                 -- how many mails
    created_ts bigint not null,
    validated_ts bigint,
    used boolean not null default false
);
create index email_proofs_address on email_proofs (address, created_ts);
create index email_proofs_created on email_proofs (created_ts);
