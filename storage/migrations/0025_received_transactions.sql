-- expand
-- Transactions of other servers that were taken, and what we answered: one that is repeated is answered the same.

create table received_transactions (
    origin text collate "C" not null,
    txn_id text collate "C" not null,
    received_ts bigint not null,
    answer bytea not null,             -- JSON
    primary key (origin, txn_id)
);
create index received_transactions_age on received_transactions (received_ts);
