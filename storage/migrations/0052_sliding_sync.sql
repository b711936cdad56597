-- expand
-- Sliding sync: what each connection was told, and when something was last said in a room.

create table sliding_sync_positions (
    id bigint generated always as identity,
    user_id text collate "C" not null,
    device_id text collate "C" not null,
    conn_id text collate "C" not null,
    state bytea not null,
    used_ts bigint not null,
    primary key (user_id, device_id, conn_id, id)
);
create index sliding_sync_positions_used on sliding_sync_positions (used_ts);

alter table rooms add column bump_pos bigint not null default 0;

update rooms set bump_pos = coalesce((
    select pos from events
    where events.room_id = rooms.room_id and pos is not null and status = 0 and type in (
        'm.room.create', 'm.room.message', 'm.room.encrypted', 'm.sticker', 'm.call.invite', 'm.poll.start',
        'org.matrix.msc3381.poll.start', 'm.beacon_info', 'org.matrix.msc3672.beacon_info')
    order by pos desc limit 1), 0);
