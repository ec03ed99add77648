"""The submit commands of HTCondor, and what becomes of each when septum sends the jobs. Data alone.

Source: HTCondor's manual, page condor_submit, and the parser of 25.14.
"""

from __future__ import annotations

from collections.abc import Mapping


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _each(reasons: Mapping[str, str]) -> dict[str, str]:
    """One entry for each of the words before a reason."""
    return {name: reason for names, reason in reasons.items() for name in names.split()}


NO_EFFECT = _words(
    """allow_arguments_v1 allow_environment_v1 batch_id batch_name buffer_block_size buffer_files buffer_size
    container_is_common core_size coresize dag_node_name dagman_job_id dagman_log description disk_usage
    docker_pull_policy email_attributes erase_output_and_error_on_restart image_size interactive_args
    interactive_executable job_ad_information_attrs job_machine_attrs job_machine_attrs_history_length keep_claim_idle
    load_profile log_xml manifest manifest_dir match_list_length max_transfer_input_mb max_transfer_output_mb nice_user
    notification notify_user preferences prio priority rank run_as_owner skip_filechecks skip_if_dataflow stack_size
    starter_debug starter_log stream_error stream_input stream_output submit_allow_duplicate_matches submit_event_notes
    submit_event_notes_attrs submit_event_user_notes submit_fail_empty_matches submit_match_directories
    submit_warn_duplicate_matches submit_warn_empty_matches submitallowduplicatematches submitfailemptymatches
    submitmatchdirectories submitwarnduplicatematches submitwarnemptymatches transfer_container transfer_error
    transfer_output ulog_execute_attrs"""
)
"""Commands that do not change what a job computes."""

USED = _words(
    """allowed_execute_duration allowed_job_duration args arguments arguments2 container_image docker_image env
    environment environment2 error executable get_env getenv initial_dir initialdir input iwd job_iwd log max_retries
    output preserve_relative_paths request_cpus request_disk request_memory requestcpus requestdisk requestmemory
    retry_request_memory should_transfer_files success_exit_code transfer_executable transfer_input transfer_input_files
    transfer_output_files transfer_output_remaps universe when_to_transfer_output"""
)
"""Commands that septum maps to its own values."""

POLICY = _each(
    {
        "hold hold_kill_sig job_lease_duration job_max_vacate_time kill_sig kill_sig_timeout leave_in_queue "
        "max_job_retirement_time next_job_start_delay on_exit_hold on_exit_hold_reason on_exit_hold_subcode "
        "on_exit_remove periodic_hold periodic_hold_reason periodic_hold_subcode periodic_release "
        "periodic_remove periodic_vacate remove_kill_sig retry_request_disk retry_request_memory_increase "
        "retry_request_memory_max retry_until want_graceful_removal": (
            "holds, releases and removals are septum's, by the profile: a lease, limits for holds and starts, "
            "no time limit for waiting shorter than 'idle-patience'"
        ),
        "materialize_max_idle max_idle max_materialize": (
            "all jobs are sent at once, in waves if the profile limits them: spooled jobs cannot be made later"
        ),
        "concurrency_limits concurrency_limits_expr": ("the cluster starts as many jobs as it has slots for"),
        "require_gpus requirements": ("slots are chosen by 'requirements' of the profile"),
        "accounting_group accounting_group_user primary_unix_group project_name": (
            "accounting is by the profile's 'attributes'"
        ),
        "aws_access_key_id_file aws_secret_access_key_file delegate_job_gsi_credentials_lifetime "
        "docker_send_credentials gs_access_key_id_file gs_secret_access_key_file s3_access_key_id_file "
        "s3_secret_access_key_file scitokens_file use_oauth_services use_scitoken use_scitokens "
        "use_x509userproxy x509userproxy": ("jobs get the credentials that septum obtains and renews, by the profile"),
        "output_destination": ("outputs come back and are verified; large results go where 'publish' says"),
        "append_files compress_files dont_encrypt_input_files dont_encrypt_output_files "
        "encrypt_execute_directory encrypt_input_files encrypt_output_files fetch_files local_files": (
            "files travel in septum's own archives, by the cluster's transfer"
        ),
    }
)
"""Commands for which the profile's policy stands in, and what that is."""

REFUSED = _each(
    {
        "my.noopjob my.ojobnoop noop_job noop_job_exit_code noop_job_exit_signal": ("its jobs would not run at all"),
        "cron_day_of_month cron_day_of_week cron_hour cron_minute cron_month cron_prep_time cron_window "
        "deferral_prep_time deferral_time deferral_window": (
            "jobs that start at a given time do not fit into a CI job"
        ),
        "checkpoint_destination checkpoint_exit_code transfer_checkpoint_files": (
            "a job that stops to be checkpointed would count as failed"
        ),
        "machine_count node_count parallel_script_shadow parallel_script_starter": ("a part is one job on one machine"),
        "jar_files java_vm_args java_vm_arguments java_vm_arguments2": ("there is no Java universe"),
        "transfer_plugins": ("parts take files along, and no plugins that fetch them"),
        "container_service_names docker_network_type want_job_networking": ("parts offer no services on a network"),
        "grid_resource gridresource": ("there is no grid universe"),
        "shell": ("name the program as executable, and its arguments"),
        "remote_initialdir": ("a part works in its own folder"),
        "public_input_files transfer_common_input": ("name the files in transfer_input_files"),
        "tool_daemon_args tool_daemon_cmd tool_daemon_input": ("a part runs one program"),
        "container_target_dir docker_override_entrypoint mount_under_scratch": ("parts run in the image as it is"),
        "my.wantioproxy my.wantremoteio want_io_proxy": ("parts have no way back to the CI job's files"),
    }
)
"""Commands without which the jobs would not be what the user meant, and why septum cannot have them."""

GPUS = _words("""request_gpus requestgpus""")
GPU_DETAILS = _words(
    """cuda_version gpus_maximum_capability gpus_minimum_capability gpus_minimum_memory gpus_minimum_runtime"""
)

ALL = sorted(
    NO_EFFECT | USED | set(POLICY) | {name for name in REFUSED if not name.startswith("my.")} | GPUS | GPU_DETAILS
)

_NOT_BY_ATTRIBUTE = _words(
    """accountinggroupuser allowargumentsv1 allowenvironmentv1 awsaccesskeyidfile awssecretaccesskeyfile batchid
    batchname checkpointexitcode concurrencylimits concurrencylimitsexpr containerservicenames cronpreptime
    cronwindow dagmanlog deferralpreptime deferralwindow gpusmaximumcapability gpusminimumcapability
    gpusminimummemory gpusminimumruntime gsaccesskeyidfile gssecretaccesskeyfile initialdir interactiveargs
    interactiveexecutable javavmarguments javavmarguments2 jobiwd leaveinqueue logxml machinecount matchlistlength
    materializemaxidle maxidle maxmaterialize maxretries nodecount noopjob remoteinitialdir requiregpus
    retryrequestdisk retryrequestmemory retryrequestmemoryincrease retryrequestmemorymax retryuntil
    s3accesskeyidfile s3secretaccesskeyfile skipfilechecks starterdebug starterlog streamerror streaminput
    streamoutput successexitcode tooldaemonargs tooldaemoninput transfercheckpointfiles transfercommoninput
    transfererror transferexecutable transferinput transferoutput ulogexecuteattrs usescitoken usescitokens
    usex509userproxy"""
)
SPELLINGS = {
    name.replace("_", ""): name for name in ALL if "_" in name and name.replace("_", "") not in _NOT_BY_ATTRIBUTE
}
SPELLINGS |= {
    "accountinggroup": "accounting_group",
    "acctgroupuser": "accounting_group_user",
    "jobbatchname": "batch_name",
    "jobdescription": "description",
    "jobmaterializelimit": "max_materialize",
    "jobmaterializemaxidle": "max_idle",
    "jobmaxretries": "max_retries",
    "jobnotification": "notification",
    "jobprio": "priority",
    "jobuniverse": "universe",
    "leavejobinqueue": "leave_in_queue",
    "remoteiwd": "remote_initialdir",
    "streamerr": "stream_error",
    "streamout": "stream_output",
    "successcheckpointexitcode": "checkpoint_exit_code",
    "transfercheckpoint": "transfer_checkpoint_files",
    "transfererr": "transfer_error",
    "transferin": "transfer_input",
    "transferout": "transfer_output",
}
"""The attributes that HTCondor takes for a command, in lower case, and the command."""

FLAVOURS_S = {
    "espresso": 1200,
    "microcentury": 3600,
    "longlunch": 7200,
    "workday": 28800,
    "tomorrow": 86400,
    "testmatch": 259200,
    "nextweek": 604800,
}
"""CERN's flavours (batchdocs.web.cern.ch) and their run times."""

TIMES_S = {
    "my.maxruntime": 1,
    "my.requestruntime": 1,
    "my.requestwalltime": 1,
    "my.jobduration": 1,
    "my.job_expected_max_lifetime": 1,
    "my.maxwalltime": 60,
    "my.maxwalltimemins": 60,
    "allowed_execute_duration": 1,
    "allowed_job_duration": 1,
}
"""Where sites' guides put the run time of a job, and the unit in seconds."""
