-- expand
-- Messages to devices.

-- What waits for local devices, at most one message of a position each.
create table to_device_messages (
    user_id text collate "C" not null,
    device_id text collate "C" not null,
    pos bigint not null,
    json text not null,               -- the event as a client gets it
    primary key (user_id, device_id, pos)
) with (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 1000);

-- What waits for other servers: whole EDU contents.
create table to_device_outbox (
    destination text collate "C" not null,
    pos bigint not null,
    part integer not null,
    json text not null,
    primary key (destination, pos, part)
) with (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 1000);

-- Requests of clients and messages of servers that were taken already.
create table to_device_transactions (
    sender text collate "C" not null,     -- a user and their device, or a server
    txn_id text collate "C" not null,
    created_ts bigint not null,
    primary key (sender, txn_id)
);
create index to_device_transactions_age on to_device_transactions (created_ts);
