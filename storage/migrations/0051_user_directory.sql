-- expand
-- Users of this server, and those of others in its rooms, as somebody looks for them.

create table user_directory (
    user_id text collate "C" primary key,
    local boolean not null,
    display_name text,
    avatar_url text,
    public boolean not null,               -- in a room that anybody may join or read
    name_words text collate "C" not null,  -- " one two " (protocol/search_text)
    id_words text collate "C" not null,    -- the same of the user ID without its server
    pieces integer[] not null              -- those of both
);
create index user_directory_pieces on user_directory using gin (pieces) with (gin_pending_list_limit = 512);

-- Up to here, changes of rooms were looked at for whose entries they make stale.
create table user_directory_progress (
    only_row boolean primary key default true check (only_row),
    pos bigint not null
) with (fillfactor = 10);
insert into user_directory_progress (pos) select pos from stream;

-- Users whose entries are to be made anew.
create table user_directory_stale (
    user_id text collate "C" primary key
);
insert into user_directory_stale (user_id)
    select user_id from users where not deactivated
    union select user_id from memberships where membership = 'join' and not local;

create index state_changes_openness on state_changes (pos)
    where type in ('m.room.join_rules', 'm.room.history_visibility');
create index room_servers_joined on room_servers (server, joined_pos);
drop index room_servers_server; -- the new one begins with the same column
create index room_servers_left on room_servers (server, left_pos) where left_pos is not null;
