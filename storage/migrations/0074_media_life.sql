-- expand
-- Contents that may have lost their last reference, and since when: only these are looked at, not all that are kept.
alter table media_contents add column suspect_since bigint;
create index media_contents_suspect on media_contents (suspect_since) where suspect_since is not null;
-- Copies of other servers' content, the least recently used first.
create index media_last_used on media (last_used_ts) where user_id is null and sha256 is not null;
