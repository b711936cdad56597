-- expand
-- Joins of our users through other servers that are under way: a restart goes on with them.

create table remote_joins (
    room_id text collate "C" not null,
    user_id text collate "C" not null,
    content text not null,
    servers text[] collate "C" not null,
    alive_until bigint not null,
    attempts integer not null default 1,
    primary key (room_id, user_id)
);
