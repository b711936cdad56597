-- expand
-- Other servers' keys, by which requests and events are verified, and the documents in which they were published.

create table server_key_documents (
    id bigint generated always as identity primary key,
    server_name text collate "C" not null,
    fetched_ts bigint not null,
    valid_until_ts bigint not null,    -- as published, and at most 7 days after it was fetched
    json bytea not null
);
create index server_key_documents_server on server_key_documents (server_name);

create table server_keys (
    server_name text collate "C" not null,
    key_id text collate "C" not null,
    public bytea not null,
    valid_until_ts bigint not null,    -- of a key in use as of its document; when it expired, of an old one
    expired boolean not null,          -- its server says that the key is out of use
    document_id bigint not null,       -- the last document that has the key
    primary key (server_name, key_id)
);
create index server_keys_document on server_keys (document_id);
