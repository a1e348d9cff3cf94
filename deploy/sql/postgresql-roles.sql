-- Rights of the four roles on PostgreSQL; docs/database-roles.md says what each may and why.
--
--   psql -v ON_ERROR_STOP=1 -d app -f postgresql-roles.sql
--   PGOPTIONS='-c search_path=outbox' psql ...             where the tables are in the schema `outbox`
--
-- Run it as a superuser before the first `worker db upgrade`, and again after each one. It may be run at any time: it
-- is one transaction, and changes nothing that is right already. The roles cannot log in and have no password.

begin;

do $$
declare
  role text;
  place text := quote_ident(current_schema());
begin
  foreach role in array array['delivery_migrator', 'delivery_worker', 'delivery_producer', 'delivery_reader'] loop
    if not exists (select from pg_roles where rolname = role) then
      execute format('create role %I nologin', role);
    end if;
  end loop;
  -- Before PostgreSQL 15 every user may create tables in the schema `public`.
  execute 'revoke create on schema ' || place || ' from public';
  execute 'grant usage, create on schema ' || place || ' to delivery_migrator';
  execute 'grant usage on schema ' || place || ' to delivery_worker, delivery_producer, delivery_reader';
  -- What an upgrade creates later is the worker's at once; for the others the file of that release has a line.
  execute 'alter default privileges for role delivery_migrator in schema ' || place
    || ' grant select, insert, update, delete on tables to delivery_worker';
end
$$;

create or replace function worker_audit_is_kept() returns trigger language plpgsql as $$
begin
  if tg_op = 'UPDATE' and (old.ended_at is null or pg_has_role(current_user, 'delivery_migrator', 'usage')) then
    return new;
  elsif tg_op = 'DELETE' and (
    old.action in ('console.view', 'console.sign_in', 'console.sign_out', 'console.refused')
    or pg_has_role(current_user, 'delivery_migrator', 'usage')
  ) then
    return old;
  end if;
  raise exception 'ended rows of the audit are kept' using errcode = 'insufficient_privilege';
end
$$;

do $$
declare
  given record;
begin
  -- A table, what a producer may, what a reader may; a worker may select, insert, update and delete in all of them.
  for given in select name, producer, reader from (values
    ('worker_accounts', 'select (name, version)', 'select (name, version)'),
    ('worker_alembic_version', '', 'select'),
    ('worker_alerts', '', 'select'),
    ('worker_attempts', 'select', 'select'),
    ('worker_audit', '', ''),
    ('worker_blob_chunks', 'insert', ''),
    ('worker_blob_uses', 'insert', ''),
    ('worker_blobs', 'select, insert, update (created_at)', 'select'),
    ('worker_bodies', '', ''),
    ('worker_budgets', 'select', 'select'),
    ('worker_chats', 'select (account, chat_id, chat_type)', ''),
    ('worker_confirmations', '', ''),
    ('worker_counts', '', 'select'),
    ('worker_duplicates', '', ''),
    ('worker_ended_tags', '', ''),
    ('worker_events', 'select', 'select'),
    ('worker_failures', 'select', ''),
    ('worker_grants', '', ''),
    ('worker_inbound', 'select (id, event, person, payload, received_at)', 'select (id, account, received_at)'),
    ('worker_jobs',
     'select, insert',
     'select (id, kind, channel, account, asked, priority, due_at, expires_at, dedupe_key, order_key, tags, '
     'on_unknown, target_job_id, replay_of, created_at, state, finished_at, awaited, n_open, n_accepted, '
     'n_partial, n_rejected, n_exhausted, n_unknown, n_expired, n_cancelled, on_gap, cancelled_at, quiet_hours, '
     'payload, tenant)'),
    ('worker_lane_events', 'select', 'select'),
    ('worker_lanes', 'select', 'select'),
    ('worker_leases', '', 'select'),
    ('worker_media', '', ''),
    ('worker_order_queue', 'select, insert', 'select'),
    ('worker_orders', '', 'select'),
    ('worker_parts',
     'select, insert',
     'select (id, job_id, n, lane, priority, state, not_before, expires_at, offered_until, claim, incarnation, '
     'marked_at, first_marked_at, deadline_at, tries, busy, repeats, doubts, unheard, flagged, waits_on, reason, '
     'order_id, limit_name)'),
    ('worker_pauses', 'select', 'select'),
    ('worker_processes', 'select', 'select'),
    ('worker_rates', '', 'select'),
    ('worker_receipts', 'select', ''),
    ('worker_response_codes', 'select (id, part_id, state, leased_by, ends_at)', ''),
    ('worker_sessions', '', ''),
    ('worker_sign_ins', '', ''),
    ('worker_site', 'select', 'select'),
    ('worker_task_ids', 'select, insert', ''),
    ('worker_terms', 'select', 'select'),
    ('worker_tokens', '', ''),
    ('worker_totals', '', 'select'),
    ('worker_unindexed', 'select', 'select'),
    ('worker_waits', 'select', 'select')
  ) as rights (name, producer, reader) where to_regclass(name) is not null loop
    -- Only its owner may change a table. Tables of before these roles are handed over.
    if (select tableowner from pg_tables where schemaname = current_schema() and tablename = given.name)
      <> 'delivery_migrator' then
      execute format('alter table %I owner to delivery_migrator', given.name);
    end if;
    execute format('revoke all on %I from public', given.name);
    execute format('grant select, insert, update, delete on %I to delivery_worker', given.name);
    if given.producer <> '' then
      execute format('grant %s on %I to delivery_producer', given.producer, given.name);
    end if;
    if given.reader <> '' then
      execute format('grant %s on %I to delivery_reader', given.reader, given.name);
    end if;
  end loop;
  -- Of the audit a worker ends its own row, and deletes what its retention says; the rest is kept for the migrator.
  if to_regclass('worker_audit') is not null then
    revoke update on worker_audit from delivery_worker;
    grant update (counts, ended_at) on worker_audit to delivery_worker;
    create or replace trigger worker_audit_is_kept before update or delete on worker_audit
      for each row execute function worker_audit_is_kept();
  end if;
end
$$;

commit;
