-- expand
-- Events of other servers that came before what they build on, and it could not be had: they are tried again.

create table early_events (
    event_id text collate "C" primary key,
    room_id text collate "C" not null,
    origin text collate "C" not null,
    missing text[] collate "C" not null,
    pdu text not null,
    attempts integer not null default 0,
    retry_at bigint not null
);
create index early_events_retry on early_events (retry_at);
create index early_events_origin on early_events (origin, room_id);
create index early_events_room on early_events (room_id);
