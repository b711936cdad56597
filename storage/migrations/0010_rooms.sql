-- expand
-- Rooms, events, state and membership.

-- Compact numbers for events and snapshots; nodes take them in blocks, so gaps are normal.
create sequence event_nids increment by 256;
create sequence snapshot_ids increment by 256;
create sequence backfill_orderings increment by 256;

create table rooms (
    room_id text collate "C" primary key,
    room_version text collate "C" not null,
    version bigint not null,          -- +1 with each write of the room: guards optimistic writes
    state bigint not null,            -- snapshot of the current state
    extremities bytea not null,       -- nids of the forward extremities, packed int64
    depth bigint not null,            -- greatest depth of an extremity
    last_pos bigint not null          -- position of the last timeline event
);

create table events (
    nid bigint primary key,
    event_id text collate "C" not null unique,
    room_id text collate "C" not null,
    room_version text collate "C" not null,
    pos bigint,                       -- stream position; null where no client may see the event as new
    ordering bigint,                  -- place among events of equal depth: pos, or negative if backfilled; null for outliers
    depth bigint not null,
    type text collate "C" not null,
    state_key text collate "C",
    sender text collate "C" not null,
    origin_server_ts bigint not null,
    received_ts bigint not null,
    outbound boolean not null,        -- this server owes the event to the others in the room
    status smallint not null,         -- 0 accepted, 1 soft-failed, 2 rejected
    state_before bigint,              -- snapshots; null for outliers
    state_after bigint,
    transaction text collate "C",     -- "device_id txn_id" of the local client that sent it
    redacted_by text collate "C",
    auth bytea,                       -- of state events: nids of the auth events, packed int64
    json text not null                -- canonical PDU
) with (toast_tuple_target = 4096);
create index events_timeline on events (room_id, depth, ordering) where ordering is not null and status = 0;
create index events_room_pos on events (room_id, pos) where pos is not null;
create index events_pos on events (pos) where pos is not null;

-- (type, state_key) pairs, numbered.
create table state_keys (
    id bigint generated always as identity primary key,
    type text collate "C" not null,
    state_key text collate "C" not null,
    unique (type, state_key)
);

-- Content-addressed snapshots in layers: this layer's entries go over the parent's.
create table state_snapshots (
    id bigint primary key,
    room_id text collate "C" not null,
    parent bigint,
    size integer not null,            -- entries of the whole snapshot
    set_hash bytea not null,          -- sum mod 2^128 of the entries' hashes: equal states have equal hashes
    layer bytea not null              -- packed int64: sorted state_keys.id, then as many events.nid (0: removed)
);
create index state_snapshots_hash on state_snapshots (room_id, set_hash);

create table current_state (
    room_id text collate "C" not null,
    type text collate "C" not null,
    state_key text collate "C" not null,
    event_nid bigint not null,
    primary key (room_id, type, state_key)
);

-- Every change of current state, with the event that it came with.
create table state_changes (
    room_id text collate "C" not null,
    pos bigint not null,
    type text collate "C" not null,
    state_key text collate "C" not null,
    event_nid bigint,                 -- null: the entry went away
    previous_nid bigint,
    cause_nid bigint not null,        -- the event whose arrival changed it
    primary key (room_id, pos, type, state_key)
);

create table memberships (
    room_id text collate "C" not null,
    user_id text collate "C" not null,
    server text collate "C" not null,
    membership text collate "C" not null,
    event_nid bigint not null,
    sender text collate "C" not null,
    pos bigint not null,
    local boolean not null,
    forgotten boolean not null default false,
    stripped_state bytea,             -- JSON list, for invites and knocks in rooms that this server is not in
    displayname text,
    avatar_url text,
    primary key (room_id, user_id)
);
create index memberships_user on memberships (user_id, membership) where local;
create index memberships_room on memberships (room_id, membership, pos);
create index memberships_server on memberships (server, room_id) where membership = 'join';

-- What happened to local users' memberships, by position.
create table membership_changes (
    user_id text collate "C" not null,
    pos bigint not null,
    room_id text collate "C" not null,
    membership text collate "C" not null,
    event_nid bigint not null,
    primary key (user_id, pos, room_id)
);
create index membership_changes_room on membership_changes (user_id, room_id, pos);

-- Servers with joined members, and since when (and until when) they are owed the room's events.
create table room_servers (
    room_id text collate "C" not null,
    server text collate "C" not null,
    joined_members integer not null,
    joined_pos bigint not null,
    left_pos bigint,
    primary key (room_id, server)
);
create index room_servers_server on room_servers (server);

create table room_summaries (
    room_id text collate "C" primary key,
    name text,
    topic text,
    avatar_url text,
    canonical_alias text collate "C",
    room_type text collate "C",
    join_rule text collate "C",
    history_visibility text collate "C",
    guest_access text collate "C",
    encryption text collate "C",
    joined_members integer not null,
    invited_members integer not null,
    local_members integer not null,   -- joined users of this server: 0 means that it takes no part in the room
    published boolean not null default false
);
create index room_summaries_published on room_summaries (joined_members desc, room_id) where published;

create table room_aliases (
    alias text collate "C" primary key,
    room_id text collate "C" not null,
    creator text collate "C" not null
);
create index room_aliases_room on room_aliases (room_id);

-- Events that known events name as their previous ones and that this server does not have.
create table backward_extremities (
    room_id text collate "C" not null,
    event_id text collate "C" not null,
    depth bigint not null,            -- of the event that names it
    primary key (room_id, event_id)
);

-- Redactions, also those whose target has not come yet.
create table redactions (
    redacts text collate "C" not null,
    event_id text collate "C" not null,
    room_id text collate "C" not null,
    primary key (redacts, event_id)
);

-- Which event a client's transaction ID made.
create table client_transactions (
    user_id text collate "C" not null,
    device_id text collate "C" not null,
    scope text collate "C" not null,  -- the endpoint and its path parameters
    txn_id text collate "C" not null,
    event_id text collate "C" not null,
    created_ts bigint not null,
    primary key (user_id, device_id, scope, txn_id)
);
create index client_transactions_age on client_transactions (created_ts);
