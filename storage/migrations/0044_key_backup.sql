-- expand
-- Backups of room keys, encrypted by their owner.

create table key_backups (
    user_id text collate "C" not null,
    version bigint not null,
    algorithm text not null,
    auth_data text not null,          -- JSON
    etag bigint not null default 0,
    session_count bigint not null default 0,
    deleted boolean not null default false,
    primary key (user_id, version)
);

create table key_backup_sessions (
    user_id text collate "C" not null,
    version bigint not null,
    room_id text collate "C" not null,
    session_id text collate "C" not null,
    first_message_index bigint not null,
    forwarded_count bigint not null,
    is_verified boolean not null,
    session_data text not null,       -- JSON
    primary key (user_id, version, room_id, session_id)
);
