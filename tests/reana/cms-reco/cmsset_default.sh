#!/bin/sh
# Stands in for what sets CMS software up in the image.
export VO_CMS_SW_DIR=/opt/cms
