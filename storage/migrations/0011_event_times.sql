-- expand
-- Events by the time at which their senders say that they sent them: /timestamp_to_event.

create index events_times on events (room_id, origin_server_ts) where ordering is not null and status = 0;
