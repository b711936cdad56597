-- expand
-- What administrators decide about media. Addresses that are `protected` stay out of quarantine, and are not deleted
-- with others.
alter table media add column protected boolean not null default false;

-- Bytes that nobody gets, whatever address they come under, and that nobody may upload again. They stay here when the
-- last address is gone.
create table media_forbidden (
    sha256 text collate "C" primary key,
    forbidden_by text not null,
    since_ts bigint not null
);
insert into media_forbidden (sha256, forbidden_by, since_ts)
    select sha256, min(quarantined_by), 0 from media
    where quarantined_by is not null and sha256 is not null group by sha256;

-- Each address that went into quarantine or came out of it, in order.
create table media_quarantine_changes (
    number bigint generated always as identity primary key,
    origin text collate "C" not null,
    media_id text collate "C" not null,
    quarantined boolean not null,
    changed_ts bigint not null
);

-- Our users' files, those that nobody wanted for the longest time first.
create index media_own_last_used on media (last_used_ts) where user_id is not null and sha256 is not null;
