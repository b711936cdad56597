-- expand
-- Which contents have a row although their file may not be on the disk yet: that of an upload whose address nobody knows before it is.

alter table media_contents add column settled boolean not null default true;
create index media_contents_unsettled on media_contents (created_ts) where not settled;
