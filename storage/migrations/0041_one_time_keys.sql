-- expand
-- Keys of local devices that are given away, each once.

create sequence one_time_key_order;

create table one_time_keys (
    user_id text collate "C" not null,
    device_id text collate "C" not null,
    algorithm text collate "C" not null,
    key_id text collate "C" not null,
    uploaded bigint not null default nextval('one_time_key_order'),
    json text not null,
    digest bytea not null,
    primary key (user_id, device_id, algorithm, key_id)
);
create index one_time_keys_order on one_time_keys (user_id, device_id, algorithm, uploaded);

-- What was given away: a digest of the key, so that it is never given again, whatever ID it comes back with.
create table used_one_time_keys (
    user_id text collate "C" not null,
    device_id text collate "C" not null,
    digest bytea not null,
    primary key (user_id, device_id, digest)
);

create table fallback_keys (
    user_id text collate "C" not null,
    device_id text collate "C" not null,
    algorithm text collate "C" not null,
    key_id text collate "C" not null,
    json text not null,
    used boolean not null default false,
    primary key (user_id, device_id, algorithm)
);

-- The position of the last write that changed how many keys somebody has left, or who has messages: what lets nodes notice each other's writes.
create table device_writes (
    only_row boolean primary key default true check (only_row),
    pos bigint not null
) with (fillfactor = 10);

insert into device_writes (pos) values (0);
