"""What to do about each error code, for the reference page. A message has its own `Fix:`; this is the longer answer.

Pure text in Markdown. `tests/unit/test_reference.py` checks that every code of `septum.errors` has its entry.
"""

from __future__ import annotations

from types import MappingProxyType

ADVICE = MappingProxyType(
    {
        "E001": (
            "Compare the command line with `septum --help`, and the component's inputs with "
            "[the reference of the components](components.md)."
        ),
        "E002": (
            "The message names file, line and key. All keys stand in [the reference of septum.yaml](septum-yaml.md); "
            "an editor that knows [the JSON schema](septum.schema.json) shows the mistake while you type."
        ),
        "E003": (
            "Look at the file or pattern that the message names: it is searched for from the folder of `septum.yaml`, "
            "after the lines under `prepare:` have run. A file that git ignores is not in the checkout of a CI job."
        ),
        "E004": (
            "`septum cluster list` shows the profiles, `septum cluster show NAME` every value and where it comes from. "
            "All keys stand in [the reference of the clusters](clusters.md)."
        ),
        "E005": (
            "Run the pipeline again from its first CI job, so that plan, receipt and ledger belong together. "
            "If a CI job was retried after its artifacts expired, the earlier ones must be retried as well."
        ),
        "E006": (
            "The end of the output of that line stands under the message. The lines run in the analysis image, in the "
            "folder of `septum.yaml`: try them there with the same image."
        ),
        "E007": (
            "The component holds the hash of septum's wheel, and the wheel the hashes of all packages. One that "
            "differs was changed on the way, or on the index: nothing of it was run. Ask who looks after "
            "`PIP_INDEX_URL`; a retry does not help."
        ),
        "E008": (
            "Images need glibc 2.28 or newer (AlmaLinux 8, Debian 10, Ubuntu 18.10 and later; not Alpine), Python 3.10 "
            "to 3.14 with `venv` as `python3`, and x86_64 or aarch64. An image that already has the same version of "
            "septum on its PATH needs none of that."
        ),
        "E009": (
            "For authors of the library. `septum component contract --changelog` prints what has changed since the "
            "last release, as lines for the changelog. The version in `pyproject.toml` must be at least the one that "
            "the message names, and what goes must have been deprecated by a release before: see "
            "[the contract](../../CONTRIBUTING.md#the-contract)."
        ),
        "E010": (
            "The framework's calls of `condor_submit` are recorded in CI job `prepare`, and read by the CI jobs after "
            "it. The message names the call, or the line of the recording. Only `condor_submit` is recorded: a "
            "framework that submits by HTCondor's Python bindings, by DAGMan or to another batch system needs an "
            "option of its own that makes it call `condor_submit`."
        ),
        "E015": (
            "`septum adopt` reads `.gitlab-ci.yml` and the shell scripts that it calls, as text. It takes pipelines "
            "that submit with `condor_submit`, themselves or by a framework. A DAG, another batch system, or lines "
            "that it cannot read need a person: see [Adopt a pipeline](../how-to/adopt-a-pipeline.md)."
        ),
        "E013": (
            "The rehearsal is a pool of its own, unpacked from Debian's packages, and runs on Linux with `apt-get`, "
            "`dpkg-deb`, `git` and user namespaces: a Debian or Ubuntu, or a container of one that may make them. The "
            "message names what is missing. Everywhere, `septum run` does the same work on the cluster `local`, and "
            "`septum component preview` shows what GitLab would make of the pipeline."
        ),
        "E014": (
            "The end of the log of that CI job stands under the message, and `septum rehearse --keep` leaves the whole "
            "of it. In a rehearsal a CI job has the software of this machine and no container, no variables of your "
            "project but those given with `--variable`, and no GitLab: see "
            "[what is another there](../how-to/run-the-pipeline-on-your-laptop.md)."
        ),
        "E020": (
            "Write the image as `docker pull` takes it, with registry and tag. A repository is in lower case, a tag "
            "holds letters, digits and `_.-`. [All forms of a name](../how-to/choose-an-image.md) with what becomes "
            "of each: `septum image resolve IMAGE`."
        ),
        "E011": (
            "What buildah printed stands above the message, and its last step is the one that failed. Try it on a "
            "machine: `buildah build --isolation chroot CONTEXT`. A step that needs more rights than a container "
            "without privileges has, such as `mount`, cannot run there."
        ),
        "E012": (
            "What an image is built of is part of its labels. With the same tag and another Containerfile, context or "
            "build argument, the registry's image is kept: jobs of an earlier pipeline may still start in it. Leave "
            "out the input `tag`, which then is the commit, or give a new version. A tag that is to go is deleted by "
            "a person, at *Deploy > Container registry*."
        ),
        "E016": (
            "GitLab has one answer for what does not exist and for what the token may not see. Compare the address "
            "with the page in a browser, and the token's role: [Follow a pipeline](../how-to/follow-a-pipeline.md) has "
            "what each verb needs. A log or an artifact may also have been erased, or have expired."
        ),
        "E017": (
            "The message names the step or the rule, and its line. Serial and Snakemake workflows are translated: "
            "[Run an analysis of REANA](../how-to/run-a-reana-analysis.md) has what becomes of them. For a Snakefile, "
            "Snakemake must be installed where the plan is made: `pip install 'septum[snakemake]'`."
        ),
        "E030": (
            "The message names the answer and what it may be. Answers stand in CI files, in Python and in names of "
            "files of the new repository, so they hold plain letters, digits and a few signs: "
            "[the page on new repositories](../how-to/start-a-repository.md) lists them."
        ),
        "E031": (
            "`septum new` writes into a folder that does not exist or is empty, and writes all or nothing. `septum "
            "update` wants a repository that `septum new` made, with everything committed. The evidence has Git's or "
            "copier's own words; [the page on updates](../how-to/update-from-the-starter.md) has the steps."
        ),
        "E032": (
            "Edit the files that the message names, between `<<<<<<<` and `>>>>>>>`, then `git add` and `git commit` "
            "them. `git reset --hard` gives the whole update up: everything was committed before."
        ),
        "E033": (
            "The evidence has the difference, or what Snakemake cannot say. `septum export reana` brings its own files "
            "up to date; one that somebody changed is replaced by `--force` alone. "
            "[The page on the export](../how-to/export-to-reana.md) says what the files hold and what they leave out."
        ),
        "E040": (
            "The evidence has one line for each thing that differs. `septum gitlab setup --dry-run` shows what it "
            "would do about them; [the page of the setup](../how-to/set-up-the-gitlab-project.md) says what each is "
            "for."
        ),
        "E041": (
            "What was done stands above the message, what was not below it, each with GitLab's own words and what the "
            "token must have. `septum gitlab setup` can be run again at any time: what is as it should be is left "
            "alone. See [the page of the setup](../how-to/set-up-the-gitlab-project.md)."
        ),
        "E060": (
            "The message is what GitLab would say, in substance. `septum component preview` reads the same file again "
            "after each change; [how GitLab reads a component](../explanation/how-gitlab-reads-a-component.md) has the "
            "rules."
        ),
        "E061": (
            "A header is the first of two YAML documents and holds `spec:` alone, with `inputs`, `component`, "
            "`include` and `description` below; `---` ends it. A keyword that is newer than the server is refused, "
            "too: see `--gitlab`."
        ),
        "E062": (
            "Compare what is passed under `inputs:` with the header of the component: an input without `default` must "
            "be given, its type is `string` if none is named, and a regular expression is tried before variables are "
            "expanded."
        ),
        "E063": (
            "A block names `inputs.` and an input of the same file, or `component.` and a field that `spec: "
            "component:` lists. After a `|` come at most three functions, each with text as its input."
        ),
        "E064": (
            "GitLab reads at most 1 KB in a block, 1 MB in one text, 10 000 different blocks and 500 000 nodes in a "
            "file. Make the file smaller, or give long text in a file of the repository instead of an input."
        ),
        "E065": (
            "Look at the address under `include:`: a component is `SERVER/PROJECT/NAME@VERSION`, and lies in "
            "`templates/NAME.yml` or `templates/NAME/template.yml`."
        ),
        "E066": (
            "The message names the job. `septum component preview` shows every job as GitLab sees it, after includes, "
            "inputs and `extends`."
        ),
        "E100": (
            "Set the variable under Settings > CI/CD > Variables. A protected variable exists on protected branches "
            "and tags only; one with an environment scope only in CI jobs of that environment."
        ),
        "E101": (
            "Nothing ran. Protect the branch under Settings > Repository, so that it gets the protected variables; or "
            "set the component's input `credentials: everywhere`, if a broker or variables that are not protected give "
            "the credentials on all refs; or `without-credentials: local` for a taste of the analysis in the CI job."
        ),
        "E110": (
            "The issuer's own words stand under the message. `invalid_client`: id or secret are wrong or expired. "
            "`invalid_scope`: the client may not ask for a scope of the profile; ask the issuer's managers, "
            "or set `SEPTUM_CLUSTER_SCOPE`."
        ),
        "E111": (
            "Compare issuer, audience and scope in the message with `septum cluster show NAME`. "
            "An issuer's name counts to the last slash."
        ),
        "E112": (
            "Ask the site which scopes its access point wants (often `compute.create`, `compute.modify`, "
            "`compute.cancel`, `compute.read`), let the client have them, and set `SEPTUM_CLUSTER_SCOPE`."
        ),
        "E113": (
            "Either the site does not map this identity, or the host's certificate is not signed by a CA that septum "
            "knows: see `ca-file` and `ca-variable` in `septum cluster show NAME`."
        ),
        "E114": (
            "Make a project access token with the scope `read_api` and the role Reporter, and store it as the masked "
            "CI/CD variable `SEPTUM_GITLAB_TOKEN`. A token that is not accepted at all has expired or was revoked. A "
            "job token reads the pipelines of public projects; those of private ones not in every GitLab."
        ),
        "E115": (
            "GitLab's own login, `CI_REGISTRY_USER` and `CI_REGISTRY_PASSWORD`, is good for images below "
            "`$CI_REGISTRY_IMAGE`. For another project's registry, that project must let this one push: *Settings > "
            "CI/CD > Job token permissions*. For a registry of another service, set `SEPTUM_REGISTRY_USER` and "
            "`SEPTUM_REGISTRY_PASSWORD` in the project, masked and protected: a protected variable is there on "
            "protected branches and tags alone."
        ),
        "E120": (
            "Make a proxy with `voms-proxy-init`, encode the proxy, not the certificate, with `base64 -w0`, "
            "and store it again in the variable that the message names."
        ),
        "E121": (
            "Make a new proxy that lives longer than the run (`voms-proxy-init --valid 96:00`), "
            "and store it in the variable that the message names."
        ),
        "E122": (
            "Either the credential is not the one that you meant, or the profile's `expect-…` is out of date. "
            "`septum credentials show` says for whom each credential speaks."
        ),
        "E130": (
            "`kinit`'s own words stand in the message. Try the same principal and keytab by hand: "
            "`kinit -k -t FILE PRINCIPAL`. A password that was changed makes every keytab of it void."
        ),
        "E140": (
            "Take the credential away from where it lies, and replace it: whoever could read it may have done so. "
            "[The page on incidents](../how-to/when-a-secret-has-leaked.md) says how, one kind after the other."
        ),
        "E200": (
            "`septum cluster check NAME` tries the same connection. Compare the address with the site's pages; "
            "it can be set by `SEPTUM_CLUSTER_COLLECTOR` and `SEPTUM_CLUSTER_SCHEDD`. A runner outside the site "
            "may be behind a firewall."
        ),
        "E201": "Choose another cluster; `septum cluster list` shows which ones this version can use, and why not.",
        "E202": (
            "The bindings exist for Linux. There, install septum again with pip; elsewhere use the cluster `local`, "
            "or let the pipeline submit."
        ),
        "E203": (
            "The access point's own words stand under the message. septum asks again for half a lease; if it stays, "
            "ask the site's administrators. The jobs go on, and a retried CI job finds them."
        ),
        "E204": (
            "A person, or the rules of retention of the REANA server, deleted the workflow or files of its workspace. "
            "Run again; outputs that septum has fetched already stay."
        ),
        "E210": (
            "The schedd's reason stands under the message. For a limit, ask for less under `resources:` or make fewer "
            "parts; for a requirement, set the attribute that the site wants by `SEPTUM_CLUSTER_ATTRIBUTES`."
        ),
        "E211": (
            "Others with the same account, or this run itself, hold all the places that the site gives. septum waits a "
            "day for room. If it never comes, look with `condor_q` whose jobs they are, and set the site's limit as "
            "`max-jobs-per-owner`, so that the run goes in waves from the beginning."
        ),
        "E212": (
            "The numbers stand under the message. Old workflows of the account hold disk until they are deleted with "
            "their workspaces: on the server's page, or with `septum sweep`. For CPU, only the site can give more."
        ),
        "E213": (
            "The storage's own words stand under the message. A full storage: clear the folders of earlier months. One "
            "that does not allow it: the token needs `storage.create` and `storage.read` of the folder. No plugin: "
            "name an address for one that the machines have as `shared-read`. Without `shared-area`, each job gets its "
            "own copy through the schedd. [The page on large inputs](../how-to/send-large-inputs-once.md) has the rest."
        ),
        "E230": "Nothing has to be done. Start the CI job again to run the rest.",
        "E231": (
            "They may belong to another account: jobs of one project that were submitted with another client or "
            "principal can be removed with that one only. `condor_q -allusers -af:j Owner SeptumRun` shows whose they "
            "are."
        ),
        "E232": (
            "`septum logs` shows the log of the CI job that the message names, `septum logs --part 0007` that of a "
            "part. The code of septum's own error in brackets has its entry here. When the cause is gone, `septum "
            "retry`."
        ),
        "E233": (
            "Somebody cancelled the pipeline, or a newer commit did. `septum retry` starts it again; jobs that are "
            "left on the cluster go with their lease, or with `septum sweep`."
        ),
        "E300": "The message names the parts and their causes; each cause has its own entry here.",
        "E301": (
            "The end of the part's log stands under the message, the whole log is in the result folder. "
            "`septum run` does the same work on the `local` cluster. If the failure is rare and outside the analysis, "
            "set `retries:`."
        ),
        "E302": "Give the part more memory: `resources: memory:`, or `memory-retries:` for the few that need more.",
        "E303": (
            "If a person or a policy of the site removed the job, the reason under the message says so. If the lease "
            "ended, nobody had spoken for the jobs for too long. Retry submit, which submits all parts "
            "anew, and then collect."
        ),
        "E304": (
            "The hold reason says what the site wants: more memory or disk under `resources:`, a file that could not "
            "be transferred, an image that does not exist."
        ),
        "E305": (
            "Compare the path under `outputs:` with what the command writes; it is relative to the part's working "
            "folder. A command that fails should end with an exit code other than 0: check it for `|| true` and pipes."
        ),
        "E306": (
            "Retry collect, which fetches the output again; if it is damaged on the cluster, run the pipeline again. "
            "If that fails too, the command still writes to the file after it has ended, or the worker's disk is full."
        ),
        "E307": "Raise `resources: time:`, or make smaller parts.",
        "E308": (
            "Retry submit, which submits all parts anew, and then collect. If many are lost, ask the site whether the "
            "access point was restarted or its queue emptied."
        ),
        "E309": (
            "The cluster ignored the image. Compare `image-method` in `septum cluster show NAME` with the site's "
            "pages, and check that the workers can read the image."
        ),
        "E319": (
            "The tag was pushed again, and CI and the workers, or two workers, have different images under it. Name "
            "an image that does not move: a tag made from the commit, or a digest. If it was pushed just now, wait "
            "until CVMFS shows it with `septum image wait`, and run the pipeline again."
        ),
        "E311": (
            "Its machine could not start it, or files did not travel, and another job of the part met the same. If the "
            "host under the message is always the same, tell the site; if not, look at the hold reason. "
            "`resubmissions:` says how many jobs a part may have."
        ),
        "E312": (
            "Give the parts more memory or disk under `resources:`. With `memory-retries:` only the few that need more "
            "get more, one step after the other."
        ),
        "E313": (
            "The site takes the slot away before the part has ended, each time: parts that run for less time survive "
            "that. Or ask for slots that stay, by `SEPTUM_CLUSTER_REQUIREMENTS`."
        ),
        "E314": (
            "No slot fits, or none is free: the reason under the message is the last word of the site's negotiator. "
            "Ask for less memory, disk or cores, correct `requirements` of the profile, or raise its `idle-patience`."
        ),
        "E315": (
            "The file was damaged on its way three times, and so was that of another job. The disk of the worker, of "
            "the access point or of the CI job may be full; else tell the site both hosts."
        ),
        "E316": (
            "The part compared the checksum of its inputs before it unpacked them, and so did another job. The message "
            "says what came: a page of a storage or a proxy, half a file, another file. Look at the folder of "
            "`shared-area` and at the caches before it; without one, at the disk of the access point."
        ),
        "E310": (
            "The result is usable as far as the tolerance says, and labelled partial everywhere. "
            "Run the pipeline again for a whole one, or lower `tolerance:` so that this fails."
        ),
        "E400": (
            "The engine's own words stand under the message. Most often the disk of the CI job is full. With hadd, an "
            "output may have been written by a much newer ROOT than that of the CI job: the report names its version. "
            "The strict engine needs no ROOT, and says what it cannot write: objects with labels or functions beyond "
            "the first 2 GB of a file. The outputs stay in the state folder: when the cause is removed, retry collect."
        ),
        "E410": (
            "The command under `merge: with` ran over the verified outputs of all parts; its own words stand under the "
            "message, and in the log that it names. What stood where an output or the product belongs is never "
            "overwritten: remove it, or give `at` and `product` other paths. In a pipeline, retry the CI job `merge`, "
            "then `result`; no part runs again. "
            "[The page on such merges](../how-to/merge-with-the-frameworks-command.md) says what the command finds."
        ),
        "E411": (
            "Each object of the sum of the parts must be in the product, equal but for rounding, unless a pattern "
            "under `changes` names it. The message names those that are not. If the command is meant to change them, "
            "add them to `changes`; if not, it has lost or counted twice what a part delivered. Do not use the product."
        ),
        "E401": (
            "The message names the part and the first object that differs. All parts must book the same histograms "
            "with the same axes, whatever they find in their events; results that should differ are merged "
            "into files of their own with `merge:`. Where a difference is meant, "
            "[a policy](septum-yaml.md#policies-of-the-merge) allows it: `missing-objects: groups`, `labels: by-name`, "
            "`parameters: sum` or `first`, `strings: first`; `unchecked: hadd` leaves objects of classes that septum "
            "cannot check to hadd."
        ),
        "E408": (
            "The message names the part and its object, for instance `'mass' holds nan in its cells`. One NaN makes "
            "the bin of the whole result NaN: find the event or the weight that gives it, and run again. A sum that "
            "the type cannot hold wants a `TH1D`; an average is written as sum and number, and divided "
            "after the merge; an axis with a range as a whole, and the range is set where it is drawn. If it is meant, "
            "[a policy](septum-yaml.md#policies-of-the-merge) allows it, and the report says so: `non-finite: keep` "
            "for NaN and infinity, `saturation: round` for full counters, `averages: sum` for averages. No policy "
            "allows an axis with a range, and `tolerance:` covers none of this."
        ),
        "E402": "Something else wrote into the state folder. Run the pipeline again from its first CI job.",
        "E403": "Do not use the result. Keep the artifacts and report it: this is a defect of septum or of the engine.",
        "E404": (
            "The message names what is missing, and the fix how to install it. Histograms need nothing; other ROOT "
            "files need `hadd`: use an image that has ROOT, or `python3 -m pip install 'septum[root]'`. Parquet needs "
            "`pyarrow`, HDF5 `h5py`. A file of a format that nothing merges can be left out of `merge:`; "
            "it is then kept once a part."
        ),
        "E405": (
            "Do not use the result before you know why: each line that says `WRONG` names one thing that was changed "
            "after the run. Take the whole result folder from the artifact again; "
            "[the page on proofs](../how-to/prove-where-a-result-comes-from.md) says what each check means."
        ),
        "E406": (
            "Let septum bring large files to storage with `publish:`: [the page on large results]"
            "(../how-to/publish-large-results.md) says how. If your GitLab takes larger artifacts than septum knows, "
            "set `SEPTUM_ARTIFACT_LIMIT`, and retry collect."
        ),
        "E407": (
            "The storage's own words stand under the message, and what septum sees of the credentials that it was "
            "shown. The results are in the result folder; when the cause is removed, retry collect: what the storage "
            "has already is compared, and not sent again. [The page on large results]"
            "(../how-to/publish-large-results.md) says what the storage must allow."
        ),
        "E409": (
            "Outputs that are here stay, and the others wait on the cluster. Take a runner with more room, then retry "
            "collect. What a run needs is twice the size of its results and once that of its outputs; smaller outputs "
            "help most."
        ),
        "E500": (
            "`compare.json` in the result folder names every object and how far it is off; `rounding` means another "
            "order of additions. If the change is meant, merge it: the next pipeline of the default branch is the new "
            "reference. [The page on comparisons](../how-to/compare-with-a-reference.md) explains the verdicts."
        ),
        "E501": (
            "The worst objects stand under the message, all of them in `compare.json`. If the change is meant, set "
            "`compare: reproducibility: report` for this commit, or compare with another reference."
        ),
        "E502": (
            "The message says where it was looked for. A path counts from the folder of `septum.yaml`, and artifacts "
            "expire. A CI job finds other pipelines with its job token, or with `SEPTUM_GITLAB_TOKEN`, a project "
            "access token with the scope `read_api`."
        ),
        "E750": "Wait, and retry the CI job. GitLab does so by itself, twice.",
        "E751": "Wait, and retry the CI job. If it lasts, look at the status page of the issuer.",
        "E752": "Wait, and retry collect. It finds the running jobs by their tag and submits nothing twice.",
        "E753": (
            "Nothing is lost: the jobs go on, and this CI job, retried, goes on where it stands. GitLab does so by "
            "itself, twice. For runs of many hours raise `timeout`, if the runner allows as much, or use `wait: hops`."
        ),
        "E754": (
            "An image that is in the wish list appears on CVMFS minutes to hours after it was pushed; one that is not "
            "never does: `septum image wishlist IMAGE` prints the line that asks for it. Retry the CI job later, or "
            "give it more time with `--deadline`."
        ),
        "E755": (
            "Wait, and retry the CI job. GitLab does so by itself, twice. If it lasts, look at the status page of the "
            "registry."
        ),
    }
)
