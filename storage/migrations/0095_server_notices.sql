-- expand
-- The room in which a user gets the notices of this server, by who sends them.
create table server_notice_rooms (
    user_id text collate "C" not null,
    sender text collate "C" not null,
    room_id text collate "C" not null,
    primary key (user_id, sender)
);
