-- expand
-- Device lists between servers.

-- What is known of the devices of other servers' users. Good as long as a room is shared and `stale_since` is null.
create table remote_device_lists (
    user_id text collate "C" primary key,
    stream_id bigint not null default 0,
    stale_since bigint,               -- milliseconds
    retry_at bigint not null default 0,
    failures integer not null default 0,
    master_key text,
    self_signing_key text
);
create index remote_device_lists_stale on remote_device_lists (retry_at) where stale_since is not null;

create table remote_devices (
    user_id text collate "C" not null,
    device_id text collate "C" not null,
    display_name text,
    json text,                        -- null: a device without keys
    primary key (user_id, device_id)
);

-- Devices of our users that other servers are to hear of, as they are when it is sent; device_id '' stands for cross-signing keys.
create table device_list_outbox (
    destination text collate "C" not null,
    user_id text collate "C" not null,
    device_id text collate "C" not null,
    pos bigint not null,
    primary key (destination, user_id, device_id)
);
create index device_list_outbox_order on device_list_outbox (destination, pos);

-- The last stream ID that a server was sent of a user.
create table device_list_sent (
    destination text collate "C" not null,
    user_id text collate "C" not null,
    pos bigint not null,
    primary key (destination, user_id)
);

-- Up to here, comings and goings in rooms were looked at for who is to hear of whose devices.
create table device_list_progress (
    only_row boolean primary key default true check (only_row),
    pos bigint not null
) with (fillfactor = 10);

insert into device_list_progress (pos) select pos from stream;

create index state_changes_members on state_changes (pos) where type = 'm.room.member';
