-- expand
-- Since when a member's membership is what it is, whatever they call themselves; absent: since `pos`. Rooms without a name
-- are called by the first members in this order.
alter table memberships add column entered_pos bigint;
create index memberships_entered on memberships (room_id, membership, (coalesce(entered_pos, pos)));
drop index memberships_room;
