#!/usr/bin/env bash
# shellcheck disable=SC2016 # the backticks are Markdown's
# What a pull request changes, as Markdown on standard output: bash .github/report.sh BASE HEAD FOLDER
# BASE and HEAD are commits. FOLDER receives plots/index.html, the curves of both commits in one page.
# It compares what git tracks (metrics, params, curves, committed pictures), so it needs no DVC remote.
set -euo pipefail
# Against the commit where the branch left, so that what the base gained since is not counted.
base=$(git rev-parse --short "$(git merge-base "$1" "$2")") head=$(git rev-parse --short "$2") folder=$3
# A comment may have 65,536 characters.
limit=${LIMIT:-20000}

section() {  # title, command...
    local title=$1 text
    shift
    text=$("$@" 2>/dev/null) || text="\`$*\` failed; its message is in the job's log."
    text=$(sed -E 's/ {2,}/ /g; s/-{4,}/---/g' <<<"$text")
    # DVC prints the head of a table without rows.
    if [ -z "$text" ] || { [[ $text == "| Path"* ]] && [ "$(wc -l <<<"$text")" -le 2 ]; }; then text="No change."; fi
    if [ "${#text}" -gt "$limit" ]; then
        # Whole lines only: half a row of a table is no table.
        text=$(head -c "$limit" <<<"$text" | sed '$d')$'\n\n'"… cut; \`$*\` prints all of it."
    fi
    printf '\n<details open><summary>%s</summary>\n\n%s\n\n</details>\n' "$title" "$text"
}

pictures() {
    local status path server=${GITHUB_SERVER_URL:-} repository=${GITHUB_REPOSITORY:-}
    git diff --name-status --no-renames "$base" "$head" -- '*.png' | while IFS=$'\t' read -r status path; do
        printf '\n`%s`\n\n| before | after |\n| --- | --- |\n| ' "$path"
        if [ "$status" != A ]; then printf '![before](%s/%s/raw/%s/%s)' "$server" "$repository" "$base" "$path"; fi
        printf ' | '
        if [ "$status" != D ]; then printf '![after](%s/%s/raw/%s/%s)' "$server" "$repository" "$head" "$path"; fi
        printf ' |\n'
    done
}

mkdir -p "$folder"
printf '### What `%s` changes against `%s`\n' "$head" "$base"
section 'Metrics' dvc metrics diff --md "$base" "$head"
section 'Parameters' dvc params diff --md "$base" "$head"
section 'Pictures' pictures
dvc plots diff "$base" "$head" --out "$folder/plots" >/dev/null || echo "plots: dvc plots diff failed" >&2
if [ -f "$folder/plots/index.html" ]; then
    printf '\nThe curves of both commits are in the artifact `report` of this run (plots/index.html).\n'
fi
