package recipe

// nginxStart is where the image has its start script.
const nginxStart = "usr/local/bin/nginx-start"

// nginxScript writes nginx's configuration to memory and runs it. Port 80 needs
// no privilege in a container of containerd 2, and 8080 none anywhere.
const nginxScript = `#!/bin/sh
# Runs nginx on ports 80 and 8080, as any user. It serves /usr/share/nginx/html,
# or passes everything on to BACKEND_URL if that is set.
set -eu
dir=/dev/shm/nginx
mkdir -p "$dir"
location='root /usr/share/nginx/html;'
if [ -n "${BACKEND_URL:-}" ]; then
  location="location / { proxy_pass $BACKEND_URL; proxy_connect_timeout 1s; proxy_read_timeout 5s; }"
fi
cat >"$dir/nginx.conf" <<EOF
daemon off;
pid $dir/nginx.pid;
error_log /dev/stderr warn;
worker_processes 1;
events { worker_connections 512; }
http {
  include /etc/nginx/mime.types;
  access_log off;
  client_body_temp_path $dir/body;
  proxy_temp_path $dir/proxy;
  fastcgi_temp_path $dir/fastcgi;
  uwsgi_temp_path $dir/uwsgi;
  scgi_temp_path $dir/scgi;
  server {
    listen 80;
    listen 8080;
    $location
  }
}
EOF
exec nginx -e stderr -c "$dir/nginx.conf"
`
