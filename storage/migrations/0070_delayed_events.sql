-- expand
-- Events that users scheduled (MSC4140), and what became of them.

create table delayed_events (
    delay_id text collate "C" primary key,
    user_id text collate "C" not null,
    device_id text collate "C",
    appservice_id text collate "C",
    txn text collate "C",             -- device and transaction ID of the request, if it had one
    room_id text collate "C" not null,
    type text collate "C" not null,
    state_key text collate "C",       -- null: a message event
    content text not null,            -- JSON
    origin_ts bigint,                 -- the time that an application service wants it to bear
    delay_ms bigint not null,
    since_ts bigint not null,         -- when it was scheduled or last restarted
    due_ts bigint,                    -- when it is to be sent; null: it is finalised
    begun_ts bigint,                  -- when sending it was first tried, if that may outlast a transaction
    unique (user_id, txn)
);
create index delayed_events_due on delayed_events (due_ts) where due_ts is not null;
create index delayed_events_user on delayed_events (user_id, due_ts) where due_ts is not null;

-- One row ends the life of a delayed event: whoever comes second cannot write it.
create table delayed_event_outcomes (
    delay_id text collate "C" primary key references delayed_events on delete cascade,
    due_ts bigint not null,           -- when it would have been due
    finalised_ts bigint not null,
    event_id text collate "C",        -- what was sent
    error text                        -- JSON: why it could not be sent; neither: it was cancelled
);
create index delayed_event_outcomes_age on delayed_event_outcomes (finalised_ts);
