-- expand
-- Pasts that were lost when a backup was restored: sync tokens with positions between these two come from one of them, and
-- their clients begin anew. No position between them is given out again.
create table restorations (
    lost_after bigint primary key,
    upto bigint not null
);
