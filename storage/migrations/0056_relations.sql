-- expand
-- Which accepted events relate to which: https://spec.matrix.org/v1.19/client-server-api/#forming-relationships-between-events

create table relations (
    nid bigint primary key,           -- the child
    event_id text collate "C" not null,
    room_id text collate "C" not null,
    parent text collate "C" not null,
    rel_type text collate "C" not null,
    type text collate "C" not null,
    sender text collate "C" not null,
    ts bigint not null,               -- origin_server_ts
    depth bigint not null,
    ordering bigint not null,         -- place in the room, as in events
    replaces boolean not null,        -- fit to take the place of its parent, for m.replace
    key text collate "C"              -- of m.annotation
);
create index relations_parent on relations (parent, rel_type, depth, ordering);
create index relations_threads on relations (room_id, parent, depth, ordering) where rel_type = 'm.thread';

-- What is here already. No database text holds \u0000, and an index entry has little room.
with related as materialized (
    select nid, event_id, room_id, type, state_key, sender, origin_server_ts, depth, ordering,
           json::json -> 'content' as content
    from events
    where ordering is not null and status = 0 and redacted_by is null
      and position('"m.relates_to":{' in json) > 0 and position('\u0000' in json) = 0
), named as materialized (
    select related.*, content -> 'm.relates_to' as relates_to, content -> 'm.new_content' as new_content
    from related
    where json_typeof(content -> 'm.relates_to') = 'object'
)
insert into relations
select nid, event_id, room_id, relates_to ->> 'event_id', relates_to ->> 'rel_type', type, sender, origin_server_ts,
       depth, ordering,
       state_key is null and (type = 'm.room.encrypted' or coalesce(json_typeof(new_content) = 'object', false)),
       case when json_typeof(relates_to -> 'key') = 'string' then relates_to ->> 'key' end
from named
where json_typeof(relates_to -> 'event_id') = 'string' and json_typeof(relates_to -> 'rel_type') = 'string'
  and left(relates_to ->> 'event_id', 1) = '$' and octet_length(relates_to ->> 'event_id') between 2 and 255
  and octet_length(relates_to ->> 'rel_type') <= 255;
