-- Rights of the six roles on MariaDB; docs/database-roles.md says what each may and why.
--
--   mariadb app < mariadb-roles.sql
--
-- Run it as a user who may grant everything, before and after each `worker db upgrade`, also the first: MariaDB has no
-- rights for tables to come, except that to create them. It may be run at any time, and adds only what is missing. The
-- roles cannot log in and have no password.

create role if not exists delivery_migrator, delivery_worker, delivery_producer, delivery_reader, delivery_receiver,
  delivery_console;

delimiter //

begin not atomic
  -- A table, and what a producer, a reader, a receiver and a console may; a worker may select, insert, update and delete
  -- in all of them. `insert ... on duplicate key update` needs UPDATE on all columns that it inserts.
  for given in (
    with rights (name, producer, reader, receiver, console) as (values
      ('worker_accounts', 'select (name, version)', 'select (name, version)', 'select', 'select'),
      ('worker_alembic_version', '', 'select', 'select', 'select'),
      ('worker_alerts', '', 'select', '', 'select'),
      ('worker_attempts', 'select', 'select', 'select, insert, update', 'select, insert, update'),
      ('worker_audit', '', '', '', 'select, insert, update (counts, ended_at, seen_at)'),
      ('worker_blob_chunks', 'insert', '', '', 'select'),
      ('worker_blob_uses', 'insert', '', '', 'select, insert'),
      ('worker_blobs', 'select, insert', 'select', '', 'select'),
      ('worker_bodies', '', '', '', ''),
      ('worker_budgets', 'select', 'select', '', 'select'),
      ('worker_chats',
       'select (account, chat_id, chat_type)',
       '',
       'select, insert, update',
       'select, update (allowance)'),
      ('worker_confirmations', '', '', '', 'select'),
      ('worker_counts', '', 'select', 'select, insert, update, delete', 'select, insert, update'),
      ('worker_duplicates', '', '', '', ''),
      ('worker_ended_tags', '', '', '', ''),
      ('worker_events', 'select', 'select', 'insert', 'select, insert, update'),
      ('worker_failures', 'select', '', '', 'select, insert, update'),
      ('worker_grants', '', '', 'select (kind, account, subject, issued_at), insert, update', ''),
      ('worker_inbound',
       'select (id, event, person, payload, received_at)',
       'select (id, account, received_at)',
       'select (id, stored_by), insert, update',
       'select'),
      ('worker_jobs',
       'select, insert',
       'select (id, kind, channel, account, asked, priority, due_at, expires_at, dedupe_key, order_key, tags, '
       'on_unknown, target_job_id, replay_of, created_at, state, finished_at, awaited, n_open, n_accepted, '
       'n_partial, n_rejected, n_exhausted, n_unknown, n_expired, n_cancelled, on_gap, cancelled_at, quiet_hours, '
       'payload, tenant)',
       'select (id, kind, channel, account, asked, priority, due_at, created_at, state, finished_at, awaited, '
       'cancelled_at, n_open, n_accepted, n_partial, n_rejected, n_exhausted, n_unknown, n_expired, n_cancelled), '
       'update (state, finished_at, awaited, n_open, n_accepted, n_partial, n_rejected, n_exhausted, n_unknown, '
       'n_expired, n_cancelled)',
       'select, insert, update (priority, due_at, expires_at, cancelled_at, state, finished_at, awaited, n_open, '
       'n_accepted, n_partial, n_rejected, n_exhausted, n_unknown, n_expired, n_cancelled)'),
      ('worker_lane_events', 'select', 'select', 'insert', 'select, insert'),
      ('worker_lanes', 'select', 'select', 'select, insert, update, delete', 'select, insert, update, delete'),
      ('worker_leases', '', 'select', 'select, insert, update', 'select'),
      ('worker_media', '', '', '', ''),
      ('worker_order_queue',
       'select, insert',
       'select',
       'select, update (place_at), delete',
       'select, insert, update, delete'),
      ('worker_orders', '', 'select', 'select, insert, update, delete', 'select, insert, update, delete'),
      ('worker_parts',
       'select, insert',
       'select (id, job_id, n, lane, priority, state, not_before, expires_at, offered_until, claim, incarnation, '
       'marked_at, first_marked_at, deadline_at, tries, busy, repeats, doubts, unheard, flagged, waits_on, reason, '
       'order_id, limit_name)',
       'select (id, job_id, n, lane, priority, state, not_before, expires_at, offered_until, claim, incarnation, '
       'marked_at, first_marked_at, deadline_at, tries, busy, repeats, doubts, unheard, flagged, waits_on, reason, '
       'order_id, limit_name), update (state, not_before, offered_until, claim, incarnation, marked_at, '
       'first_marked_at, deadline_at, tries, busy, repeats, doubts, unheard, flagged, waits_on, reason, limit_name)',
       'select, insert, update (priority, expires_at, state, not_before, offered_until, claim, incarnation, '
       'marked_at, first_marked_at, deadline_at, tries, busy, repeats, doubts, unheard, flagged, waits_on, reason, '
       'limit_name)'),
      ('worker_pauses', 'select', 'select', 'select (ended_at)', 'select, insert, update (ended_at)'),
      ('worker_processes', 'select', 'select', 'select (id, hooks, alive_until, started_at, ended_at)', 'select'),
      ('worker_rates', '', 'select', 'select, insert, update, delete', 'select'),
      ('worker_receipts', 'select', '', 'select (part_id, claim), insert, update', 'select, insert, update'),
      ('worker_response_codes',
       'select (id, part_id, state, leased_by, ends_at)',
       '',
       'select (id), insert, update',
       'select (id, part_id, source, state, leased_by, issued_at, ends_at, person), update (state, leased_by)'),
      ('worker_sessions', '', '', '', 'select, insert, update, delete'),
      ('worker_sign_ins', '', '', '', 'select, insert, delete'),
      ('worker_site', 'select', 'select', 'select', 'select'),
      ('worker_task_ids', 'select, insert', '', 'select', 'select, insert'),
      ('worker_terms', 'select', 'select', '', 'select'),
      ('worker_tokens',
       '',
       '',
       '',
       'select (account, fingerprint, generation, fetched_at, expires_at, refused, probe_at), update (probe_at)'),
      ('worker_totals', '', 'select', 'select, insert, update, delete', 'select'),
      ('worker_unindexed', 'select', 'select', 'select, insert, update', 'select, insert, update'),
      ('worker_waits', 'select', 'select', '', 'select, insert, update')
    )
    select name, producer, reader, receiver, console, exists (
      select 1 from information_schema.tables where table_schema = database() and table_name = rights.name
    ) as there
    from rights
  ) do
    set @place = concat('`', replace(database(), '`', '``'), '`.', given.name);
    -- Granted also before there is a table, because it lets create one.
    execute immediate concat('grant all privileges on ', @place, ' to delivery_migrator');
    if given.there then
      execute immediate concat('grant select, insert, update, delete on ', @place, ' to delivery_worker');
      if given.producer <> '' then
        execute immediate concat('grant ', given.producer, ' on ', @place, ' to delivery_producer');
      end if;
      if given.reader <> '' then
        execute immediate concat('grant ', given.reader, ' on ', @place, ' to delivery_reader');
      end if;
      if given.receiver <> '' then
        execute immediate concat('grant ', given.receiver, ' on ', @place, ' to delivery_receiver');
      end if;
      if given.console <> '' then
        execute immediate concat('grant ', given.console, ' on ', @place, ' to delivery_console');
      end if;
    end if;
  end for;
  -- Of the audit a worker ends its own row, and deletes what its retention says; the rest is kept for the migrator.
  if exists (
    select 1 from information_schema.tables where table_schema = database() and table_name = 'worker_audit'
  ) then
    set @migrates = 'exists (select 1 from mysql.roles_mapping where role = "delivery_migrator" and user = substring_index(user(), "@", 1))';
    set @refuse = ' then signal sqlstate "42000" set mysql_errno = 1142, message_text = "ended rows of the audit are kept"; end if';
    execute immediate concat('create or replace trigger worker_audit_is_not_changed before update on worker_audit'
      ' for each row if old.ended_at is not null and not ', @migrates, @refuse);
    execute immediate concat('create or replace trigger worker_audit_is_not_deleted before delete on worker_audit'
      ' for each row if old.action not in ("console.view", "console.sign_in", "console.sign_out", "console.refused")'
      ' and not ', @migrates, @refuse);
  end if;
end //

delimiter ;
