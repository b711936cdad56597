-- expand
-- Devices that take messages for their owner while no client of theirs is there.

create table dehydrated_devices (
    user_id text collate "C" primary key,
    device_id text collate "C" not null,
    device_data text not null         -- JSON
);
