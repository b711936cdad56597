-- expand
-- Account data that was deleted (MSC3391) stays as {}, for syncs that still have to tell of it.

alter table account_data add column deleted boolean not null default false;
