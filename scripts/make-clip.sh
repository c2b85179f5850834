#!/bin/sh
# Makes the clips that the video tests play. Needs ffmpeg with libvpx and libaom.
#
# Every picture shows its own number: the upper half is eight blocks of 20 pixels, the lowest bit on the left,
# white for 1 and black for 0. The lower half is a ramp that moves. 12 pictures a second, a keyframe every second.
set -eu
folder="$(dirname "$0")/../tests/fixtures"
mkdir -p "$folder"

clip() {
  name="$1"
  seconds="$2"
  shift 2
  ffmpeg -v error -y -f lavfi -i "color=c=gray:s=160x120:r=12:d=$seconds,format=yuv420p,geq=\
lum='if(lt(Y,60),16+219*mod(floor(N/pow(2,floor(X/20))),2),60+mod(X+4*N,120))':\
cb='128+40*gt(Y,30)':cr=128" -g 12 -keyint_min 12 -threads 1 "$@" -fflags +bitexact -flags:v +bitexact "$folder/$name"
}

clip clip.ivf 6 -c:v libvpx -b:v 60k -auto-alt-ref 0 -lag-in-frames 0 -deadline good -cpu-used 0
clip clip-vp9.ivf 2 -c:v libvpx-vp9 -b:v 40k -lag-in-frames 0 -deadline good -cpu-used 2
clip clip-av1.ivf 2 -c:v libaom-av1 -b:v 40k -lag-in-frames 0 -cpu-used 6
