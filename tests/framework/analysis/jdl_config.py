"""What submit.jdl and run.sh hold, and how condor_submit is called."""

import os

proxydir = '/builds/cms-analysis/sus/emu/myproxy'
jdl_dict: dict[str, str] = {}
jdl_dict['universe'] = 'vanilla'
jdl_dict['executable'] = 'run.sh'
jdl_dict['arguments'] = '$(Folder)'
jdl_dict['should_transfer_files'] = 'YES'
jdl_dict['transfer_input_files'] = f'$(Folder)/script.py, headers.hh, runner.py, {proxydir}'
jdl_dict['output'] = '$(Folder)/out.txt'
jdl_dict['error'] = '$(Folder)/err.txt'
jdl_dict['log'] = '$(Folder)/log.txt'
jdl_dict['request_cpus'] = '1'
jdl_dict['num_retries'] = '3'
jdl_dict['periodic_remove'] = '(JobStatus == 1 && time() - EnteredCurrentStatus > 900) || (JobStatus == 2 && time() - EnteredCurrentStatus > 900) || (JobStatus == 5 && time() - EnteredCurrentStatus > 360)'
jdl_dict['+JobFlavour'] = '"workday"'
jdl_dict['+SingularityImage'] = f'"{os.environ.get("SINGULARITY_CONTAINER")}/"'
executable = [
    'export X509_USER_PROXY=$PWD/myproxy',
    'python3 runner.py',
]
condor_config = ['-spool']
