-- expand
-- Events of calls, so that a missed one is counted without looking at everything that is unread of a room.

create index events_calls on events (room_id, pos)
    where type in ('m.call.invite', 'm.call.answer', 'm.call.reject', 'm.call.hangup');
