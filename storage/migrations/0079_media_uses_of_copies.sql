-- expand
-- Events that show other servers' files are noted too, so that our copies go when the events were redacted. `origin`
-- is the server in the address; the empty text stands for this one.
alter table media_uses add column origin text collate "C" not null default '';
