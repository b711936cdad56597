-- expand
-- Mails about what users have not read: when each pusher that mails is looked at, which rooms it leaves alone for a
-- while, and whose mails the links in them end.

create table push_mails (
    pusher_id bigint primary key references pushers on delete cascade,
    looked_pos bigint not null,            -- up to here the outbox was looked at
    next_ts bigint,                        -- when to look again, whatever happens; null: not by itself
    failing_ms bigint not null             -- the last pause after a mail that was not taken; 0: it works
);
create index push_mails_next on push_mails (next_ts) where next_ts is not null;

create table push_mail_rooms (
    pusher_id bigint not null references pushers on delete cascade,
    room_id text collate "C" not null,
    last_pos bigint not null,              -- of the last event that was mailed
    pause_ms bigint not null,
    ready_ts bigint not null,              -- no mail about this room before
    primary key (pusher_id, room_id)
);

create table mail_unsubscribes (
    token_hash bytea primary key,          -- of what the link in one mail has
    user_id text collate "C" not null,
    address text collate "C" not null,
    created_ts bigint not null
);
create index mail_unsubscribes_created on mail_unsubscribes (created_ts);

create index pushers_mailing on pushers (id) where kind = 'email';
