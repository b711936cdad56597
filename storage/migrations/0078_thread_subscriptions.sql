-- expand
-- Threads that our users follow, and those that they followed once: a client that was away must not follow them anew.
create table thread_subscriptions (
    thread text collate "C" not null,     -- the event that began it
    room_id text collate "C" not null,
    user_id text collate "C" not null,
    subscribed boolean not null,
    automatic boolean not null,
    pos bigint not null,                  -- of the last change
    primary key (thread, room_id, user_id)
);
create index thread_subscriptions_user on thread_subscriptions (user_id, pos);
