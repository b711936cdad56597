-- expand
-- What is added to positions where other servers are told of them as stream IDs of devices: a server that was restored from a
-- backup must not use numbers again that it used since.
alter table device_list_progress add column stream_offset bigint not null default 0;
