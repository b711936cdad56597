-- expand
-- Invites and knocks of our users in rooms that this server is not in: which servers know of them, and what these are still to be told.

create table outside_memberships (
    room_id text collate "C" not null,
    user_id text collate "C" not null,
    servers text[] collate "C" not null,
    leave_content bytea,               -- JSON: the user has left, and nobody there has been told yet
    primary key (room_id, user_id)
);
create index outside_memberships_leaving on outside_memberships (room_id, user_id) where leave_content is not null;
