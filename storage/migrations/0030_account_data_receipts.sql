-- expand
create table account_data (
    user_id text collate "C" not null,
    room_id text collate "C" not null,   -- '' for global account data
    type text collate "C" not null,
    content bytea not null,              -- JSON object
    pos bigint not null,
    primary key (user_id, room_id, type)
);
create index account_data_pos on account_data (user_id, pos);

create table receipts (
    room_id text collate "C" not null,
    user_id text collate "C" not null,
    receipt_type text collate "C" not null,
    thread_id text collate "C" not null,  -- '' for an unthreaded receipt
    event_id text collate "C" not null,
    ts bigint not null,
    pos bigint not null,
    local boolean not null,
    primary key (room_id, user_id, receipt_type, thread_id)
);
create index receipts_room_pos on receipts (room_id, pos);
