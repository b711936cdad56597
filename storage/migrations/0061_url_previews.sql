-- expand
-- What pages say of themselves, for a while. https://spec.matrix.org/v1.19/client-server-api/#get_matrixclientv1mediapreview_url

create table url_previews (
    url text collate "C" primary key,
    answer text not null,            -- JSON; empty for a page of which nothing can be told
    media_id text collate "C",       -- of its picture, which is ours and goes with it
    expires_ts bigint not null
);
create index url_previews_expiry on url_previews (expires_ts);
