-- expand
-- Whether clients are to be told when a list of another server's user's devices is fetched, though it did not change.

alter table remote_device_lists add column announce boolean not null default false;
