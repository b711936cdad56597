-- expand
-- The one counter of all durable streams (see docs/decisions/0001-positions-in-commit-order.md).
create table stream (
    only_row boolean primary key default true check (only_row),
    pos bigint not null
) with (fillfactor = 10);

insert into stream (pos) values (0);

-- The last group that each running journal committed, so that after a lost connection it can tell
-- whether its commit happened.
create table journals (
    journal text collate "C" primary key,
    mark bigint not null,
    pos bigint not null,
    seen_at timestamptz not null default now()
) with (fillfactor = 10);

-- Work that only one node does at a time.
create table leases (
    name text collate "C" primary key,
    holder text collate "C" not null,
    until timestamptz not null
);
