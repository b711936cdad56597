-- expand
-- Events that show our users' files, as far as this server can read them, so that a file goes when the events that
-- showed it were redacted. Written behind the events.
create table media_uses (
    media_id text collate "C" not null,   -- of ours
    event_id text collate "C" not null,
    sender text collate "C" not null,
    gone_ts bigint,                       -- when it was redacted
    primary key (media_id, event_id)
);
create index media_uses_event on media_uses (event_id);
create index media_uses_gone on media_uses (gone_ts) where gone_ts is not null;

create table media_uses_progress (
    only_row boolean primary key default true check (only_row),
    pos bigint not null
);
insert into media_uses_progress (pos) values (0);
