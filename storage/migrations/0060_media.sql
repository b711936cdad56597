-- expand
-- Uploaded content, and copies of other servers' content: https://spec.matrix.org/v1.19/client-server-api/#content-repository

-- The same bytes are kept once. `file` names them where files are kept: by their hash and by chance, so that a
-- file that is about to be deleted is never the one of bytes that have just come again.
create table media_contents (
    sha256 text collate "C" primary key,  -- in hexadecimal
    size bigint not null,
    file text collate "C" not null,
    created_ts bigint not null
);

create table media (
    origin text collate "C" not null,     -- the server in mxc://server/media_id
    media_id text collate "C" not null,
    sha256 text collate "C" references media_contents,  -- null: to be uploaded until expires_ts
    user_id text collate "C",             -- who uploaded it, if it is ours
    content_type text not null,           -- as declared
    filename text,
    created_ts bigint not null,           -- when it came to this server
    expires_ts bigint,
    last_used_ts bigint not null,
    quarantined_by text collate "C",
    primary key (origin, media_id)
);
create index media_sha256 on media (sha256);
create index media_pending on media (user_id, expires_ts) where sha256 is null;
create index media_of_user on media (user_id, created_ts);

-- Made of content, so equal uploads share them. A row without a file says why there is none.
create table media_thumbnails (
    source text collate "C" not null references media_contents on delete cascade,
    width integer not null,
    height integer not null,
    method text collate "C" not null,
    animated boolean not null,
    sha256 text collate "C" references media_contents,
    content_type text not null,
    failure text,
    made_ts bigint not null,
    primary key (source, width, height, method, animated)
);
create index media_thumbnails_sha256 on media_thumbnails (sha256);
