-- expand
-- What this server owes to others. No row an event and destination: what is owed follows from events, room_servers and these few rows.

-- Up to here all events are delivered, but for the destinations below.
create table outbox_progress (
    only_row boolean primary key default true check (only_row),
    pos bigint not null
) with (fillfactor = 10);

insert into outbox_progress (pos) values (0);

-- Destinations that are behind, and how far each has got.
create table outbox_lagging (
    destination text collate "C" primary key,
    pos bigint not null
) with (fillfactor = 50);

-- Events that concern a server without users in the room: the end of an invite, the refusal of a knock.
create table outbox_extra (
    destination text collate "C" not null,
    pos bigint not null,
    room_id text collate "C" not null,
    primary key (destination, pos)
);
create index outbox_extra_pos on outbox_extra (pos);

create index events_outbound on events (room_id, pos) where outbound and pos is not null;
create index events_outbound_pos on events (pos) where outbound and pos is not null;
