#!/bin/sh
# Update a function, unless it has this code already.
# Usage: deploy.sh FUNCTION ZIP [BUCKET]; the bucket is for zips of more than 50 MB.
set -eu
function=$1 zip=$2 bucket=${3:-}

sha256=$(openssl dgst -sha256 -binary "$zip" | openssl base64 -A)
deployed=$(aws lambda get-function-configuration \
  --function-name "$function" --query CodeSha256 --output text)

if [ "$deployed" = "$sha256" ]; then
  echo "$function has this code already: $sha256"
elif [ -n "$bucket" ]; then
  key=$(openssl dgst -sha256 -r "$zip" | cut -c1-64).zip
  aws s3 cp --only-show-errors "$zip" "s3://$bucket/$key"
  aws lambda update-function-code --function-name "$function" \
    --s3-bucket "$bucket" --s3-key "$key" --query CodeSha256 --output text
else
  aws lambda update-function-code --function-name "$function" \
    --zip-file "fileb://$zip" --query CodeSha256 --output text
fi
