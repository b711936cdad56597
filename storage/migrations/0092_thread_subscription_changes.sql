-- expand
-- Who follows other threads than before: their badges are counted anew.
create index thread_subscriptions_pos on thread_subscriptions (pos);
